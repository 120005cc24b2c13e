-- Distinct asset notifications of about 600 bytes, three tenants in turn. Arguments: token, run id.
local token, run
local count = 0
local tenants = { "acmeop", "custaa", "custbb" }
local filler = string.rep("x", 280)

function init(args)
  token, run = args[1], args[2]
end

function request()
  count = count + 1
  local millis = os.time() * 1000 + count % 1000
  local stamp = os.date("!%Y-%m-%dT%H:%M:%S", math.floor(millis / 1000)) .. string.format(".%03dZ", millis % 1000)
  local body = '{"header":{"topic":"mdsp.core.assetmanagement.v1.pubsub.asset.ext.notification","tenantContext":["'
    .. tenants[count % 3 + 1] .. '"]},"asset":{"id":"' .. run .. "-" .. count
    .. '","resource":"ASSET","action":"UPDATE","tenant":"custaa","timestamp":"' .. stamp
    .. '","description":"' .. filler .. '"}}'
  return wrk.format("POST", nil, { ["Authorization"] = "Bearer " .. token, ["Content-Type"] = "application/json" }, body)
end
