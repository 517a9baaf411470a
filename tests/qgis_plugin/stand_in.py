"""A command that behaves as geoseg does, for the plugin's tests: lines of JSON on stderr, an exit code, and patience.

usage: stand_in.py VERB ...; VERB says what happens: predict works, regularize fails, vectorize never ends.
"""

import json
import os
import sys
import time


def say(**fields: object) -> None:
    print(json.dumps(fields), file=sys.stderr, flush=True)


say(level="info", message=" ".join(sys.argv[1:]))
say(level="info", message=f"PYTHONHOME {os.environ.get('PYTHONHOME')}")
for done in range(1, 4):
    say(stage="predict", done=done, total=4, detail="")
if sys.argv[1] == "regularize":
    say(level="error", message="roofs.gpkg: no CRS; set it with ogr2ogr -a_srs", exit_code=3)
    sys.exit(3)
if sys.argv[1] == "vectorize":
    time.sleep(600)
print("class  ha")
