/**
 * What Redis does for `Admission`, each call in one step (docs/decisions/0017-admission.md). All times are Redis's own.
 *
 * A permit is named `<tenant>/<session>/<segment>`. `flight` and `staged` hold the names by the ms at which they run
 * out; whatever is in flight is in staged too. `permits` knows of each `<bytes> <priority>`, the priority being 0 as
 * long as there is no job. `held` counts: bytes, segments and staged bytes in all and by tenant, segments by session,
 * and those that have a job. It is only ever changed together with `flight` and `staged`.
 */
const common = `
local permits, flight, staged, held, order = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local waiting, wants, line, asks = KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local wait, prioritized, delayed, active = KEYS[10], KEYS[11], KEYS[12], KEYS[13]
local tenant, session, bytes = ARGV[1], ARGV[2], tonumber(ARGV[4])
local permit = tenant .. '/' .. session .. '/' .. ARGV[3]
local permitLifeMs, stagedLifeMs, sweepMax = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function count(field)
  return tonumber(redis.call('HGET', held, field) or 0)
end

local function add(field, by)
  if redis.call('HINCRBY', held, field, by) <= 0 then redis.call('HDEL', held, field) end
end

local function known(name)
  local bytes, priority = string.match(redis.call('HGET', permits, name) or '0 0', '^(%d+) (%d+)$')
  return tonumber(bytes), tonumber(priority)
end

local function countFlight(name, sign)
  local itsTenant, itsSession = string.match(name, '^(%x+)/(%x+)/')
  local itsBytes, itsPriority = known(name)
  add('bytes', sign * itsBytes)
  add('bytes/' .. itsTenant, sign * itsBytes)
  add('segments', sign)
  add('segments/' .. itsTenant, sign)
  add('session/' .. itsSession, sign)
  if itsPriority > 0 then add('jobs', sign) end
end

local function countStaged(name, sign)
  local itsBytes = sign * known(name)
  add('staged', itsBytes)
  add('staged/' .. string.match(name, '^%x+'), itsBytes)
end

local function endFlight(name)
  if redis.call('ZREM', flight, name) == 1 then countFlight(name, -1) end
end

local function endPermit(name)
  endFlight(name)
  if redis.call('ZREM', staged, name) == 1 then countStaged(name, -1) end
  redis.call('HDEL', permits, name)
end

local function begin(name, itsBytes, priority)
  endPermit(name)
  redis.call('HSET', permits, name, string.format('%d %d', itsBytes, priority))
  redis.call('ZADD', flight, now + permitLifeMs, name)
  countFlight(name, 1)
  redis.call('ZADD', staged, now + stagedLifeMs, name)
  countStaged(name, 1)
end

local function sweep()
  local function runOut(set)
    return redis.call('ZRANGEBYSCORE', set, '-inf', now, 'LIMIT', 0, sweepMax)
  end
  for _, name in ipairs(runOut(flight)) do endFlight(name) end
  for _, name in ipairs(runOut(staged)) do endPermit(name) end
end

-- Where nobody asks any more, nothing is left behind. All goes in the same instant: counts without permits would stay.
local function keepAWhile()
  for key = 1, 7 do redis.call('PEXPIREAT', KEYS[key], now + stagedLifeMs) end
end
`

/**
 * Answers `{1}` or `{0, retryAfterMs, reason}`.
 *
 * There are two lines: one of tenants that have nothing in flight (`waiting`), and one in each tenant of its sessions
 * (`line`). Beside each line a hash knows what each one wants, and until when it keeps its place: `<bytes> <ms>`.
 */
export const admitScript = `${common}
local limits = { bytes = tonumber(ARGV[8]), segments = tonumber(ARGV[9]), staged = tonumber(ARGV[10]) }
local perSessionMax, seenMax = tonumber(ARGV[11]), tonumber(ARGV[12])
local retryMsMin, retryMsMax, graceMs = tonumber(ARGV[13]), tonumber(ARGV[14]), tonumber(ARGV[15])
local jitter = tonumber(ARGV[16])

local function leaveLine(aLine, itsWants, who)
  redis.call('ZREM', aLine, who)
  redis.call('HDEL', itsWants, who)
end

-- Answers with the place, the first being 0.
local function standInLine(aLine, who)
  if not redis.call('ZSCORE', aLine, who) then redis.call('ZADD', aLine, redis.call('HINCRBY', held, 'turn', 1), who) end
  return redis.call('ZRANK', aLine, who)
end

local function keepPlace(itsWants, who, itsBytes, untilMs)
  redis.call('HSET', itsWants, who, string.format('%d %d', itsBytes, untilMs))
end

-- What those want who stand before 'who'; before somebody who is in no line, that is all of them.
local function wantedBefore(aLine, itsWants, who)
  local wanted = { bytes = 0, segments = 0 }
  local seen = redis.call('ZRANGE', aLine, 0, seenMax - 1)
  local seenWants = #seen > 0 and redis.call('HMGET', itsWants, unpack(seen))
  for place, other in ipairs(seen) do
    if other == who then return wanted end
    local itsBytes, untilMs = string.match(seenWants[place] or '', '^(%d+) (%d+)$')
    if itsBytes and tonumber(untilMs) >= now then
      wanted.bytes = wanted.bytes + itsBytes
      wanted.segments = wanted.segments + 1
    else
      leaveLine(aLine, itsWants, other)
    end
  end
  wanted.isLong = redis.call('ZCARD', aLine) > wanted.segments
  return wanted
end

local function delayAt(place)
  local longest = math.min(retryMsMax, 2 * retryMsMin * (place + 1))
  return math.floor(longest / 2 * (1 + jitter))
end

sweep()
local isFlying = redis.call('ZSCORE', flight, permit)
if not isFlying and count('session/' .. session) >= perSessionMax then return { 0, delayAt(0), 'session' } end

local hasNothing = count('segments/' .. tenant) == 0
local mates = wantedBefore(line, asks, session)
local others = wantedBefore(waiting, wants, hasNothing and tenant)
local isFirst = hasNothing and mates.segments == 0
local knownBytes, priority = known(permit)
local growth = math.max(bytes - knownBytes, 0)
local isRenewal = isFlying and growth == 0

-- Whoever has something in flight leaves as much free as it then has; who has nothing takes what is there.
local function fits(what, used, needs, matesNeed, othersNeed)
  local itsShare = count(what .. '/' .. tenant) + matesNeed + needs
  local free = limits[what] - used - matesNeed - needs - othersNeed
  return needs == 0 or free >= (isFirst and 0 or itsShare)
end

local function whyNot()
  local queued = redis.call('LLEN', wait) + redis.call('ZCARD', prioritized) + redis.call('ZCARD', delayed)
  local segments = math.max(count('segments'), queued)
  if not fits('bytes', count('bytes'), isFlying and growth or bytes, mates.bytes, others.bytes) then return 'bytes' end
  if not fits('segments', segments, isFlying and 0 or 1, mates.segments, others.segments) then return 'segments' end
  if not fits('staged', count('staged'), growth, mates.bytes, others.bytes) then return 'staged' end
  return (mates.isLong or others.isLong) and 'line'
end

local function admit()
  begin(permit, math.max(bytes, knownBytes), priority)
  if not isRenewal then
    leaveLine(line, asks, session)
    leaveLine(waiting, wants, tenant)
  end
  keepAWhile()
  return { 1 }
end

local function refuse(reason)
  local place = standInLine(line, session)
  if hasNothing then
    local first = redis.call('ZRANGE', line, 0, 0)[1]
    local firstBytes = first == session and bytes or string.match(redis.call('HGET', asks, first), '^%d+')
    place = place + standInLine(waiting, tenant)
    keepPlace(wants, tenant, firstBytes, now + retryMsMax + graceMs)
  end
  local delay = delayAt(place)
  keepPlace(asks, session, bytes, now + delay + graceMs)
  for _, key in ipairs({ line, asks }) do redis.call('PEXPIREAT', key, now + retryMsMax + graceMs) end
  keepAWhile()
  return { 0, delay, reason }
end

local reason = not isRenewal and whyNot()
return reason and refuse(reason) or admit()`

/**
 * Answers with the job's priority: start-time fair queueing. `order` knows at which byte every tenant's next turn is,
 * the turn at which the queue is (`now`), and the last one that was given (`last`).
 */
export const queuedScript = `${common}
local fairBytes, aheadBytes, priorityMax = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])

local function turnOf(priority)
  return (priority - 1) * fairBytes
end

-- That of the job which waits longest for its own. It never goes back, also when a job comes back.
local function turnNow(last)
  local first = redis.call('ZRANGE', prioritized, 0, 0, 'WITHSCORES')[2]
  local turn = first and turnOf(math.floor(first / 2 ^ 32)) or last
  return math.max(turn, tonumber(redis.call('HGET', order, 'now') or aheadBytes))
end

local function isIdle()
  return count('jobs') == 0 and redis.call('EXISTS', wait, prioritized, delayed, active) == 0
end

local function nextPriority()
  if isIdle() then redis.call('DEL', order) end
  local last = tonumber(redis.call('HGET', order, 'last') or 0)
  local now = turnNow(last)
  local start = math.max(now - aheadBytes, tonumber(redis.call('HGET', order, tenant) or 0))
  redis.call('HSET', order, 'now', now, 'last', math.max(last, start), tenant, start + bytes)
  return math.min(1 + math.floor(start / fairBytes), priorityMax)
end

sweep()
local knownBytes, priority = known(permit)
if priority == 0 then priority = nextPriority() end
begin(permit, math.max(bytes, knownBytes), priority)
keepAWhile()
return priority`

export const releaseScript = `${common}
endPermit(permit)`
