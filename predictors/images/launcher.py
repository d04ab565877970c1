#!/usr/bin/python3 -IS
"""`podium serve` in an image, without the command line tool: nothing else of it is there, and importing it takes time.

-I and -S leave only the standard library on the path, so that no environment variable brings in other code.
"""

import gc
import os
import sys
from types import ModuleType

sys.path.append("/app")

if __name__ == "__main__":
    if sys.argv[1:2] != ["serve"]:
        sys.stderr.write("error: this image holds `podium serve` and no other command\n")
        sys.exit(2)
    # Nothing plugs into pydantic here, and looking for what might means reading about every package; even what would
    # look takes a tenth of all imports, as it brings `importlib.metadata` and `email`.
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"
    no_plugins = ModuleType("pydantic.plugin._loader")
    setattr(no_plugins, "get_plugins", tuple)  # noqa: B010
    sys.modules[no_plugins.__name__] = no_plugins
    # What is imported stays, so it need not be looked through for garbage, neither now nor later.
    gc.disable()
    from predictors.server.__main__ import main

    gc.freeze()
    gc.enable()
    sys.exit(main(sys.argv[2:]))
