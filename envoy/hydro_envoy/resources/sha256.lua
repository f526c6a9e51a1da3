-- SHA-256 in LuaJIT, whose `bit` library has the 32-bit operations. sha256(text): 64 hexadecimal
-- digits. Source: FIPS 180-4, https://doi.org/10.6028/NIST.FIPS.180-4
local band, bnot, bor, bxor = bit.band, bit.bnot, bit.bor, bit.bxor
local lshift, ror, rshift, tobit = bit.lshift, bit.ror, bit.rshift, bit.tobit

-- The first 32 bits of the fraction of a root of each of the first primes.
local function fractions(count, root)
  local found, number = {}, 2
  while #found < count do
    local is_prime = true
    for divisor = 2, math.sqrt(number) do
      is_prime = is_prime and number % divisor ~= 0
    end
    if is_prime then
      found[#found + 1] = tobit(math.floor(number ^ (1 / root) % 1 * 2 ^ 32))
    end
    number = number + 1
  end
  return found
end

local START, ROUND = fractions(8, 2), fractions(64, 3)

local function pad(text)
  local bits = #text * 8
  -- 64 bits in big-endian order. Keys are short, so that the upper half is 0.
  local length = string.char(
    0, 0, 0, 0, rshift(bits, 24), band(rshift(bits, 16), 255), band(rshift(bits, 8), 255), band(bits, 255))
  -- A block has 64 bytes: text, the bit 1, zeros, and 8 bytes for the length, which leaves 55.
  return text .. "\128" .. string.rep("\0", (55 - #text) % 64) .. length
end

local function schedule(block, at, words)
  for i = 1, 16 do
    local a, b, c, d = block:byte(at + i * 4 - 4, at + i * 4 - 1)
    words[i] = bor(lshift(a, 24), lshift(b, 16), lshift(c, 8), d)
  end
  for i = 17, 64 do
    local x, y = words[i - 15], words[i - 2]
    local low = bxor(ror(x, 7), ror(x, 18), rshift(x, 3))
    local high = bxor(ror(y, 17), ror(y, 19), rshift(y, 10))
    words[i] = tobit(words[i - 16] + low + words[i - 7] + high)
  end
end

local function compress(state, words)
  local a, b, c, d, e, f, g, h = unpack(state)
  for i = 1, 64 do
    local mixed = bxor(ror(e, 6), ror(e, 11), ror(e, 25))
    -- Five numbers of 32 bits add up to less than 2^53, which a Lua number holds exactly; `tobit`
    -- then takes them modulo 2^32.
    local one = h + mixed + bxor(band(e, f), band(bnot(e), g)) + ROUND[i] + words[i]
    local other = bxor(ror(a, 2), ror(a, 13), ror(a, 22)) + bxor(band(a, b), band(a, c), band(b, c))
    h, g, f, e, d, c, b, a = g, f, e, tobit(d + one), c, b, a, tobit(one + other)
  end
  for i, value in ipairs({a, b, c, d, e, f, g, h}) do
    state[i] = tobit(state[i] + value)
  end
end

function sha256(text)
  local block, state, words = pad(text), {unpack(START)}, {}
  for at = 1, #block, 64 do
    schedule(block, at, words)
    compress(state, words)
  end
  for i = 1, 8 do
    state[i] = bit.tohex(state[i])
  end
  return table.concat(state)
end
