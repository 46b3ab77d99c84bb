import { cephRgwRequirement, startCephRgw } from '../servers/ceph-rgw.ts'
import { redisRequirement } from '../servers/redis.ts'
import { describeWith } from '../servers/require-server.ts'
import { describeWholePath } from './whole-path-suite.ts'

describeWith(redisRequirement, 'the whole path, on Ceph RGW', () => {
  describeWith(cephRgwRequirement, 'with a bucket for staging', () => {
    describeWholePath(() => startCephRgw())
  })
})
