"""The recorded markets that ship with Tideline."""
