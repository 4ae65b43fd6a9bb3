"""The scenarios: each module has one public function that measures and yields what it measured."""
