# A project is set up from a list of files, the first of which that exists counts, or from nothing.
FILES = "@FILES@"
NEEDS = {"owner/needs": ["first.txt", "second.txt"], "owner/nested": ["nested.txt"]}
BASE = "@BASE@"
SCRIPTS = {"broken": "exit 7"}
