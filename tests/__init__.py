"""The tests of Voxcube."""
