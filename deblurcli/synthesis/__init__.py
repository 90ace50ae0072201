"""Sharp photo → defocused photo with its true blur map, in linear light."""
