"""What schemathesis has to be told of our API; loaded by it, see schemathesis.toml."""

import schemathesis
from hypothesis import strategies

# Archives that are none: what is in them is the matter of the tests of uploads.
schemathesis.openapi.media_type("application/gzip", strategies.binary(max_size=2000))
