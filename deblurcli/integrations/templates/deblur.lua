-- Made by 'deblur integrate', which may replace this file.
-- Adds the export target "deblur" to darktable: what is exported is restored, written as NAME-deblurred.tif, 16 bit,
-- beside the original, and imported. Originals are not touched. Choose TIFF, 16 bit, as file format.

local dt = require "darktable"

local DEBLUR = @DEBLUR@

local function quoted(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

local function store(storage, image, format, exported)
  local result = image.path .. "/" .. image.filename:gsub("%.[^.]*$", "") .. "-deblurred.tif"
  local said = os.tmpname()
  local command = DEBLUR .. " --depth 16 -o " .. quoted(result) .. " -- " .. quoted(exported) .. " 2>" .. quoted(said)
  if dt.control.execute(command) == 0 then
    dt.database.import(result)
    dt.print("deblur: " .. result)
  else
    local file = io.open(said)
    local why = file and file:read("a") or "it could not be started"
    if file then file:close() end
    dt.print("deblur: " .. why)
    dt.print_error("deblur: " .. why)
  end
  os.remove(said)
  os.remove(exported)
end

local function takes(storage, format)
  return format.extension == "tif"
end

dt.register_storage("deblur", "deblur", store, nil, takes)

return { store = store }
