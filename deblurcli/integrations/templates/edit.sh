#!/bin/sh
# Made by 'deblur integrate', which may replace this file.
# Removes defocus blur from the photos named: NAME-deblurred.tif, 16 bit, appears beside each. Originals are not touched.

# Nautilus lists what is selected here, one path a line, and names it as arguments only where it lies on this machine.
if [ -n "${NAUTILUS_SCRIPT_SELECTED_FILE_PATHS-}" ]; then
    set -f
    IFS='
'
    # shellcheck disable=SC2086
    set -- $NAUTILUS_SCRIPT_SELECTED_FILE_PATHS
fi

tell() { # error|info TEXT: in a window or a notification, where there are any
    if [ "$(uname)" = Darwin ]; then
        osascript -e 'on run text' -e 'display notification (item 1 of text) with title "deblur"' -e 'end run' -- "$2"
    elif [ -z "${DISPLAY-}${WAYLAND_DISPLAY-}" ]; then
        return
    elif [ "$1" = error ] && command -v zenity; then
        zenity --error --no-markup --title=deblur --text="$2"
    elif [ "$1" = error ] && command -v kdialog; then
        kdialog --title deblur --error "$2"
    elif command -v notify-send; then
        notify-send deblur "$2"
    fi
} >/dev/null 2>&1

if said=$(@DEBLUR@ --format tiff --depth 16 -- "$@" 2>&1); then
    tell info "Done: $# photo(s), each beside its original."
else
    code=$?
    printf '%s\n' "$said" >&2
    tell error "$said"
    exit "$code"
fi
