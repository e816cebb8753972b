"""What an admin does about the full models: learn their size, have them downloaded, and see how far that is.

Every method is an endpoint of the API, too.
"""

from __future__ import annotations

from segr1_app.models.downloads import Download
from segr1_app.studio.contracts import DownloadProgress, DownloadSize


class DownloadHandlers:
    """Starts a download and tells of it.

    Every method returns JSON values and raises `SegR1Error` with a sentence for the person who asked.
    """

    def __init__(self, download: Download) -> None:
        self._download = download

    def download_size(self) -> DownloadSize:
        """The size of the download of the full models.

        Returns:
            {"bytes": their number; 0 when everything is downloaded}.
        """
        return {"bytes": self._download.size()}

    def download_models(self) -> DownloadProgress:
        """Download the full models, or resume the download; the app switches to them as soon as they are complete.

        Returns:
            As `download_state`.
        """
        self._download.start()
        return self.download_state()

    def download_state(self) -> DownloadProgress:
        """The progress of the download.

        Returns:
            {"state": "idle", "running", "done" or "failed", "done", "total": bytes, "seconds", "trouble"}.
        """
        state = self._download.state
        return DownloadProgress(
            state=state.state, done=state.done, total=state.total, seconds=state.seconds, trouble=state.trouble
        )
