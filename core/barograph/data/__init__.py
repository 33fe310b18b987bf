"""What a training was fed: fingerprints, profiles and keyed sketches of its data, without a copy of it."""
