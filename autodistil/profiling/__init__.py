"""Measuring a device: students of its SuperLMs in turns, and a predictor fitted to them."""
