-- A host says that it lives.
--
-- KEYS  1 sorted set of hosts by when they last did, in seconds
-- ARGV  1 host   2 seconds after which one is taken to be dead
-- gives { how many hosts live }
local now = tonumber(redis.call('TIME')[1])
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
redis.call('EXPIRE', KEYS[1], 10 * ARGV[2])
return { redis.call('ZCARD', KEYS[1]) }
