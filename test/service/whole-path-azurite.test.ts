import { startAzurite } from '../servers/azurite.ts'
import { redisRequirement } from '../servers/redis.ts'
import { describeWith } from '../servers/require-server.ts'
import { describeWholePath } from './whole-path-suite.ts'

describeWith(redisRequirement, 'the whole path, on Azurite', () => {
  describeWholePath(() => startAzurite())
})
