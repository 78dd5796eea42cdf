"""Pages: they read by selectors, act by services, and hold no rule of their own."""
