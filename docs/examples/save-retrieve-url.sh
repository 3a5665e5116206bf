#!/bin/sh
# Saves a file for a user, reads it back, and prints a link to it.
# Which provider keeps it is what .env says: nothing here knows of any.
#
#     sh save-retrieve-url.sh FILE USER
set -eu
id=$(storage put "$1" --user "$2")
storage get "$id" --user "$2" --output "$1.copy"
cmp "$1" "$1.copy"
storage url "$id" --user "$2"
