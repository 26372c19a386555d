"""What watches every test: nobody may block the event loop."""
