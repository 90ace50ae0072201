"""Into the menus of editors and file managers."""
