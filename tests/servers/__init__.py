"""Real servers, started by the test run."""
