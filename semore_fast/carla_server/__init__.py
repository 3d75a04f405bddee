"""The embedded simulator behind CARLA's wire protocol, for tests, teaching and laptops. It is not CARLA.

`python -m semore_fast.carla_server --help`, `docs/carla_server.md`.
"""
