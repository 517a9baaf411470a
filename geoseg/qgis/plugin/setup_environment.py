"""The algorithm that makes geoseg's environment with uv, from the network or from a folder of wheels."""

import os
import shutil

from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingException,
    QgsProcessingParameterFile,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterString,
    QgsSettings,
)

from .command import SETTING, environment_folder, program, run

NO_UV = "uv, which makes the environment, is not on PATH; get it from https://docs.astral.sh/uv and start QGIS again"


class MakeEnvironment(QgsProcessingAlgorithm):
    """Make geoseg's environment."""

    def createInstance(self):  # noqa: N802
        """Return another one."""
        return MakeEnvironment()

    def name(self):
        """Return the second part of its name."""
        return "makeenvironment"

    def displayName(self):  # noqa: N802
        """Return what the toolbox shows."""
        return "Make geoseg's environment"

    def shortHelpString(self):  # noqa: N802
        """Return what it does."""
        return (
            "Makes a Python environment with geoseg in a folder of yours, with uv, and remembers it. With a folder of "
            "wheels nothing is fetched. Delete the folder to be rid of it."
        )

    def initAlgorithm(self, _config=None):  # noqa: N802
        """Declare what it asks for."""
        parameters = (
            QgsProcessingParameterString("PACKAGE", "Package", defaultValue="geoseg"),
            QgsProcessingParameterString("PYTHON", "Python", defaultValue="3.12"),
            QgsProcessingParameterFile(
                "WHEELS", "Folder of wheels, to work offline", QgsProcessingParameterFile.Behavior.Folder, optional=True
            ),
            QgsProcessingParameterFolderDestination("FOLDER", "Folder of the environment", str(environment_folder())),
        )
        for parameter in parameters:
            self.addParameter(parameter)

    def processAlgorithm(self, parameters, context, feedback):  # noqa: N802
        """Make it."""
        uv = os.environ.get("UV") or shutil.which("uv")
        if not uv:
            raise QgsProcessingException(NO_UV)
        folder = self.parameterAsString(parameters, "FOLDER", context)
        wheels = self.parameterAsString(parameters, "WHEELS", context)
        offline = ["--offline", "--no-index", "--find-links", wheels] if wheels else []
        python = self.parameterAsString(parameters, "PYTHON", context)
        package = self.parameterAsString(parameters, "PACKAGE", context)
        run([uv, "venv", "--python", python, *(["--offline"] if wheels else []), "--allow-existing", folder], feedback)
        feedback.setProgress(10)
        if not feedback.isCanceled():
            run([uv, "pip", "install", "--python", str(program(folder, "python")), *offline, package], feedback)
        if not feedback.isCanceled():
            run([str(program(folder, "geoseg")), "--version"], feedback)
            QgsSettings().setValue(SETTING, str(program(folder, "geoseg")))
        return {"FOLDER": folder}
