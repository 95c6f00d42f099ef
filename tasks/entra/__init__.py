"""The directory of Microsoft Entra ID and Intune, pulled from Microsoft Graph: client, streams, connection test."""
