"""Attachment-protection logs of Mimecast: client, stages, connection test."""
