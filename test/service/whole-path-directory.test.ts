import { redisRequirement } from '../servers/redis.ts'
import { describeWith } from '../servers/require-server.ts'
import { describeWholePath } from './whole-path-suite.ts'

describeWith(redisRequirement, 'the whole path, with a directory as the store', () => {
  describeWholePath(() => Promise.resolve(undefined))
})
