// What a Redis server does in one step. Numbers that are compared are decimal texts:
// steps of 20 digits, as Lua's own lose what is beyond 2^53.
//
// A record is a hash: e epoch, o owner, s step, the two newest checkpoints n and p, and c
// which of them is the newest, p or else n. So a put writes one checkpoint, not two.

#ifndef GRUSERVE_CORE_STORE_REDIS_REDIS_SCRIPTS_H_
#define GRUSERVE_CORE_STORE_REDIS_REDIS_SCRIPTS_H_

#include <string>

namespace gruserve {

struct RedisScript {
  const char* text;
  // As EVALSHA wants it.
  std::string sha1() const;
};

// mode (0 create, 1 resume, 2 either), owner, first step, first checkpoint, ttl in ms ->
// ABSENT | EXISTS or CREATED epoch, epoch before, owner before | OK as these, newest, previous
constexpr RedisScript kAcquireScript{R"(
local r = redis.call('HMGET', KEYS[1], 'e', 'o', 'n', 'p', 'c')
if not r[1] then
  if ARGV[1] == '1' then return {'ABSENT'} end
  redis.call('HSET', KEYS[1], 'e', '1', 'o', ARGV[2], 's', ARGV[3], 'n', ARGV[4], 'p', '')
  redis.call('PEXPIRE', KEYS[1], ARGV[5])
  return {'CREATED', '1'}
end
local again = r[2] == ARGV[2]
if ARGV[1] == '0' then
  if again then return {'CREATED', r[1], r[1], r[2]} end
  return {'EXISTS', '0', r[1], r[2]}
end
if not again then
  redis.call('HINCRBY', KEYS[1], 'e', 1)
  redis.call('HSET', KEYS[1], 'o', ARGV[2])
end
redis.call('PEXPIRE', KEYS[1], ARGV[5])
local e = redis.call('HGET', KEYS[1], 'e')
if r[5] == 'p' then return {'OK', e, r[1], r[2], r[4], r[3]} end
return {'OK', e, r[1], r[2], r[3], r[4]}
)"};

// epoch, owner, step, checkpoint, ttl in ms, whether to recreate -> OK | ABSENT |
// FENCED epoch owner | STALE step
constexpr RedisScript kPutScript{R"(
local r = redis.call('HMGET', KEYS[1], 'e', 'o', 's', 'c')
if not r[1] then
  if ARGV[6] ~= '1' then return {'ABSENT'} end
  redis.call('HSET', KEYS[1], 'e', ARGV[1], 'o', ARGV[2], 's', ARGV[3], 'n', ARGV[4], 'p', '')
  redis.call('PEXPIRE', KEYS[1], ARGV[5])
  return {'OK'}
end
if r[1] ~= ARGV[1] or r[2] ~= ARGV[2] then return {'FENCED', r[1], r[2]} end
if ARGV[3] < r[3] then return {'STALE', r[3]} end
local c = r[4] == 'p' and 'n' or 'p'
redis.call('HSET', KEYS[1], 's', ARGV[3], c, ARGV[4], 'c', c)
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return {'OK'}
)"};

// epoch, owner, what (renew, release or delete), ttl in ms -> as a put
constexpr RedisScript kTouchScript{R"(
local r = redis.call('HMGET', KEYS[1], 'e', 'o')
if not r[1] then return {'ABSENT'} end
if r[1] ~= ARGV[1] or r[2] ~= ARGV[2] then return {'FENCED', r[1], r[2]} end
if ARGV[3] == 'renew' then redis.call('PEXPIRE', KEYS[1], ARGV[4]) end
if ARGV[3] == 'release' then redis.call('HSET', KEYS[1], 'o', '') end
if ARGV[3] == 'delete' then redis.call('DEL', KEYS[1]) end
return {'OK'}
)"};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_STORE_REDIS_REDIS_SCRIPTS_H_
