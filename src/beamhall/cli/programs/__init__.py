"""Programs that the command line runs in the user's own Python; they may use nothing of Beamhall."""
