-- Sends the requests of METHOD, and prints one JSON line at the end.
local method = os.getenv("METHOD") or "GET"
wrk.method = method
wrk.headers["Authorization"] = "Bearer the-client-s-own"
if method == "POST" then
  wrk.body = string.rep("x", 500)
  wrk.headers["Content-Type"] = "text/plain"
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    'RESULT {"requests":%d,"seconds":%f,"failed":%d,"p50":%d,"p99":%d}\n',
    summary.requests, summary.duration / 1e6,
    e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
