"""The configuration file: one module for each section."""
