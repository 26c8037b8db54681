"""The pages of the alerts service: home, inbox, and the one alert a mail's link opens."""
