"""How Sphinx builds the documentation: ``tox -e docs``."""

import os
import pathlib
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from docutils.parsers.rst.directives.images import Image
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinxcontrib.openapi.renderers import HttpdomainRenderer

from eventalarm.catalogue import fault_files
from eventalarm.catalogue.dictionary import as_rst

SOURCE = pathlib.Path(__file__).parent
# Where the functional tests write screenshots.
SCREENSHOTS = SOURCE.parents[1] / "test-output"


class NumberedResponses(HttpdomainRenderer):
    """Leaves out the response ``default``, which the HTTP domain does not know."""

    def render_responses(self, responses: dict[str, Any]) -> Iterator[str]:
        """Render the responses that have a status code."""
        yield from super().render_responses({k: v for k, v in responses.items() if k != "default"})


class Screenshot(Image):
    """Shows a screenshot of the functional tests, or nothing where they have not run."""

    option_spec = {"alt": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """Return the image, or no node if the file is missing."""
        picture = SCREENSHOTS / self.arguments[0]
        environment = self.state.document.settings.env
        environment.note_dependency(str(picture))
        if not picture.is_file():
            return []
        self.arguments[0] = "/" + pathlib.PurePath(os.path.relpath(picture, SOURCE)).as_posix()
        self.options["width"] = "100%"
        return list(super().run())


class FaultCatalogue(SphinxDirective):
    """Shows the entries of the fault catalogue."""

    def run(self) -> list[nodes.Node]:
        """Return a section for each file of the package."""
        for path in fault_files.FOLDER.glob("*.yaml"):
            self.env.note_dependency(str(path))
        text = as_rst(fault_files.load_shipped().faults)
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def setup(app: Sphinx) -> None:
    """Add the directives ``screenshot`` and ``fault-catalogue``."""
    app.add_directive("screenshot", Screenshot)
    app.add_directive("fault-catalogue", FaultCatalogue)


project = "eventalarm"
copyright = "eventalarm maintainers"
extensions = [
    "openstackdocstheme",
    "oslo_config.sphinxext",
    "oslo_policy.sphinxext",
    "cliff.sphinxext",
    "reno.sphinxext",
    "sphinx.ext.autodoc",
    "sphinxcontrib.openapi",
    "sphinxcontrib.programoutput",
]
openapi_renderers = {"numbered": NumberedResponses}
openapi_default_renderer = "numbered"
suppress_warnings = ["config.cache"]  # a renderer is a class, which Sphinx cannot keep
html_theme = "openstackdocs"
# The project is not hosted by OpenStack: the theme must not link to its trackers and repositories.
openstackdocs_auto_name = False
openstackdocs_use_storyboard = False
html_theme_options = {"show_other_versions": False, "display_toc": True, "display_badge": False}
master_doc = "index"
nitpicky = True
nitpick_ignore_regex = [
    # The code refers to parts of itself and of its libraries that have no page here.
    ("py:.*", r".*"),
]
autodoc_typehints = "description"
autodoc_member_order = "bysource"
modindex_common_prefix = ["eventalarm."]
programoutput_prompt_template = "$ {command}\n{output}"
