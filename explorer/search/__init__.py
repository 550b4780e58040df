"""Looking for the settings that pay."""
