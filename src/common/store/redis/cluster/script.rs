//! Scripts: what a node does in one step for one slot. Each is the same however often it is sent.
//!
//! They compare tokens as texts and do no arithmetic. A profile's type is looked at before it is written.

/// The scripts, in the order in which they are loaded.
pub const SCRIPTS: [&str; 4] = [EXCHANGE, RAISE, WRITE, WRITE_UNDER];

/// Which of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Script {
    /// Puts ARGV[3] in the place of ARGV[2], or of nothing when ARGV[1] is `0`; gives 1, or what it found instead.
    Exchange,
    /// Puts ARGV[1] there unless something greater is there; gives 1, or what it found.
    Raise,
    /// Writes profiles, where the first field that goes has no name anew; gives the numbers of those that it refuses.
    Write,
    /// The same if the token KEYS[1] is ARGV[1], and makes that ARGV[2]; gives what it found instead as a text.
    WriteUnder,
}

const EXCHANGE: &str = "local found = redis.call('GET', KEYS[1])
if (ARGV[1] == '1' and found == ARGV[2]) or (ARGV[1] == '0' and not found) then
  redis.call('SET', KEYS[1], ARGV[3])
  return 1
end
return found";

const RAISE: &str = "local found = redis.call('GET', KEYS[1])
if found and found > ARGV[1] then return found end
redis.call('SET', KEYS[1], ARGV[1])
return 1";

const WRITE: &str = "local refused, at = {}, 1
for i = 1, #KEYS do
  local sets = tonumber(ARGV[at])
  local gone = tonumber(ARGV[at + 1 + sets])
  local kind = redis.call('TYPE', KEYS[i]).ok
  if kind == 'hash' or kind == 'none' then
    if gone > 0 and ARGV[at + 2 + sets] == '' then redis.call('DEL', KEYS[i]) end
    if sets > 0 then redis.call('HSET', KEYS[i], unpack(ARGV, at + 1, at + sets)) end
    if gone > 0 then redis.call('HDEL', KEYS[i], unpack(ARGV, at + 2 + sets, at + 1 + sets + gone)) end
  else
    refused[#refused + 1] = i - 1
  end
  at = at + 2 + sets + gone
end
return refused";

// Applied once already it is applied again: an answer may have been lost.
const WRITE_UNDER: &str = "local found = redis.call('GET', KEYS[1]) or ''
if found ~= ARGV[1] and found ~= ARGV[2] then return found end
local refused, at = {}, 3
for i = 2, #KEYS do
  local sets = tonumber(ARGV[at])
  local gone = tonumber(ARGV[at + 1 + sets])
  local kind = redis.call('TYPE', KEYS[i]).ok
  if kind == 'hash' or kind == 'none' then
    if gone > 0 and ARGV[at + 2 + sets] == '' then redis.call('DEL', KEYS[i]) end
    if sets > 0 then redis.call('HSET', KEYS[i], unpack(ARGV, at + 1, at + sets)) end
    if gone > 0 then redis.call('HDEL', KEYS[i], unpack(ARGV, at + 2 + sets, at + 1 + sets + gone)) end
  else
    refused[#refused + 1] = i - 2
  end
  at = at + 2 + sets + gone
end
redis.call('SET', KEYS[1], ARGV[2])
return refused";
