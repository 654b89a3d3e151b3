"""What the command line is made of: find or start a cluster, run the script on it, say how it went."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
