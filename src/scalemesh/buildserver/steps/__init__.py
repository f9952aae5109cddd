"""clone, detect, install and build, upload: what each step does, given the Build that it belongs to."""
