"""The machine a training runs on: what it is, and how busy it is while the training goes on."""
