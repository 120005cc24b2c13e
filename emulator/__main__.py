"""``python -m emulator``: see ``verbs``."""

from emulator.verbs import main

if __name__ == "__main__":
    main(prog_name="python -m emulator")
