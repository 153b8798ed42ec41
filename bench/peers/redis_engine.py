"""R1 on Redis: everything but the rules in one Lua script, one call over a unix socket; the rules in Python (2 us).

Entries are members of sorted sets by time; counts are ZCOUNT, sums and maxima read the entries of the longest window
that needs them. Seven days are kept as totals that entries leave as they expire. Distinct values are members by their
latest time.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench.peers.rules import fused

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SCRIPT: Final = """
local id, t, account, card, device, ip, merchant, email, amount, seq = unpack(ARGV)
local known = redis.call('GET', 'i:' .. id)
if known then return known end
t = tonumber(t)
amount = tonumber(amount)
local member = seq .. ':' .. amount

local key, totals = 'a:' .. account, 't:' .. account
local h = redis.call('HMGET', totals, 'n', 's', 'q', 'l')
local n, s, q, gap = tonumber(h[1] or 0), tonumber(h[2] or 0), tonumber(h[3] or 0), -1
if h[4] then gap = t - tonumber(h[4]) end
local old = t - 604800000
for _, e in ipairs(redis.call('ZRANGEBYSCORE', key, '-inf', old)) do
  local a = tonumber(string.match(e, ':(%d+)'))
  n, s, q = n - 1, s - a, q - a * a
end
redis.call('ZREMRANGEBYSCORE', key, '-inf', old)
redis.call('ZADD', key, t, member)
n, s, q = n + 1, s + amount, q + amount * amount
redis.call('HMSET', totals, 'n', n, 's', string.format('%.17g', s), 'q', string.format('%.17g', q), 'l', t)

local f = {0, 0, 0, 0, 0, 0, 0, 0, 0}
local day = redis.call('ZREVRANGEBYSCORE', key, t, '(' .. (t - 86400000), 'WITHSCORES')
for i = 1, #day, 2 do
  local a, at = tonumber(string.match(day[i], ':(%d+)')), tonumber(day[i + 1])
  for w = (at > t - 600000 and 1) or (at > t - 3600000 and 2) or 3, 3 do
    f[w] = f[w] + 1
    f[w + 3] = f[w + 3] + a
    if a > f[w + 6] then f[w + 6] = a end
  end
end

key = 'c:' .. card
redis.call('ZREMRANGEBYSCORE', key, '-inf', t - 86400000)
redis.call('ZADD', key, t, member)
local total = 0
local entries = redis.call('ZRANGE', key, 0, -1)
for _, e in ipairs(entries) do total = total + tonumber(string.match(e, ':(%d+)')) end
f[10] = redis.call('ZCOUNT', key, '(' .. (t - 300000), t)
f[11] = redis.call('ZCOUNT', key, '(' .. (t - 3600000), t)
f[12], f[13] = #entries, total

key = 'd:' .. device
redis.call('ZREMRANGEBYSCORE', key, '-inf', t - 3600000)
redis.call('ZADD', key, t, seq)
f[14] = redis.call('ZCARD', key)
key = 'da:' .. device
redis.call('ZREMRANGEBYSCORE', key, '-inf', t - 86400000)
redis.call('ZADD', key, t, account)
f[15] = redis.call('ZCARD', key)

key = 'p:' .. ip
redis.call('ZREMRANGEBYSCORE', key, '-inf', t - 600000)
redis.call('ZADD', key, t, seq)
f[16] = redis.call('ZCARD', key)
key = 'pc:' .. ip
redis.call('ZREMRANGEBYSCORE', key, '-inf', t - 3600000)
redis.call('ZADD', key, t, card)
f[17] = redis.call('ZCARD', key)

key = 'm:' .. merchant
redis.call('ZREMRANGEBYSCORE', key, '-inf', t - 60000)
redis.call('ZADD', key, t, seq)
f[18] = redis.call('ZCARD', key)

f[19] = string.format('%.17g', s / n)
local v = n * q - s * s
f[20] = string.format('%.17g', v > 0 and math.sqrt(v) / n or 0)
f[21] = gap
f[22] = redis.call('SISMEMBER', 'bl_card', card)
f[23] = redis.call('SISMEMBER', 'bl_device', device)
f[24] = redis.call('SISMEMBER', 'bl_ip', ip)
f[25] = redis.call('SISMEMBER', 'bl_email', email)
for i = 1, 18 do f[i] = string.format('%d', f[i]) end
local answer = table.concat(f, ' ')
redis.call('SET', 'i:' .. id, answer)
return answer
"""
FLOATS: Final = (18, 19)


class RedisServer:
    """A server of our own on a unix socket, nothing written to disk."""

    def __init__(self) -> None:
        import redis

        server = shutil.which("redis-server")
        if server is None:
            raise RuntimeError("redis-server is not installed (apt install redis-server)")
        self._folder = tempfile.TemporaryDirectory(prefix="frmcore-redis-")
        path = str(Path(self._folder.name) / "redis.sock")
        quiet = ["--save", "", "--appendonly", "no", "--dir", self._folder.name]
        command = [server, "--port", "0", "--unixsocket", path, *quiet]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        self.client: Any = redis.Redis(unix_socket_path=path)
        for _ in range(200):
            if Path(path).exists():
                return
            time.sleep(0.05)
        raise RuntimeError("redis-server did not start within ten seconds")

    def used(self) -> int:
        """Bytes that the server's allocator gave out."""
        return int(self.client.info("memory")["used_memory"])

    def put(self, commands: Iterable[tuple[Any, ...]], batch: int = 1_000) -> None:
        """Runs them in pipelines."""
        rest = iter(commands)
        while part := list(islice(rest, batch)):
            pipe = self.client.pipeline(transaction=False)
            for command in part:
                pipe.execute_command(*command)
            pipe.execute()

    def close(self) -> None:
        self.client.close()
        self._process.terminate()
        self._process.wait()
        self._folder.cleanup()


class RedisEngine:
    """`decide(event)` -> (outcome, score, features, flags)."""

    def __init__(self, lists: Mapping[str, list[str]]) -> None:
        self.server = RedisServer()
        for name, values in lists.items():
            self.server.put(("SADD", name, *values[at : at + 1_000]) for at in range(0, len(values), 1_000))
        self._sha = self.server.client.script_load(SCRIPT)
        self._seq = 0

    def decide(self, e: dict[str, Any]) -> tuple[Any, ...]:
        self._seq += 1
        said = self.server.client.evalsha(
            self._sha, 0, e["id"], e["ts"], e["account_id"], e["card_id"], e["device_id"], e["ip"], e["merchant_id"],
            e["email"], e["amount"], self._seq,
        ).split()  # fmt: skip
        features = tuple(float(each) if at in FLOATS else int(each) for at, each in enumerate(said[:21]))
        flags = tuple(each == b"1" for each in said[21:])
        return (*fused(e, features, flags), features, flags)

    def close(self) -> None:
        self.server.close()
