"""The original's WSGI application for any WSGI server: the file of settings is named by INSPECTOR_CONF.

The entry point that the service ships reads the process's own command line, which under gunicorn is gunicorn's.
"""

import os
import sys

from ironic_inspector.cmd.wsgi import initialize_wsgi_app

sys.argv = ["ironic-inspector-api", "--config-file", os.environ["INSPECTOR_CONF"]]
application = initialize_wsgi_app()
