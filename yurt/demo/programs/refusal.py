import sys

sys.exit("no, not today")
