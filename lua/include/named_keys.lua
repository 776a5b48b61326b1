-- The keys of a script by name, in the order in which its header names them.
local function named_keys(names)
  local k = {}
  for i, name in ipairs(names) do
    k[name] = KEYS[i]
  end
  return k
end
