"""What runs on engines: sent there by value (`engine_bundle`), standard library and cloudpickle only."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
