"""The check inside the programs that a site runs it with."""
