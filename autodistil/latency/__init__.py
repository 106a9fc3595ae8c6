"""How long a forward takes: conditions, measurement, prediction, profiles of devices."""
