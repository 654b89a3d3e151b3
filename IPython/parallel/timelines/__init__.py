"""Who did what when: from what results know of themselves to a drawing, a page, a text."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
