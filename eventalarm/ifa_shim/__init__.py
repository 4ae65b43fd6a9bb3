"""The IFA shim: alarms as ETSI NFV IFA 005/006 describes them."""
