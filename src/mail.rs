//! Sends the mails of the service layer through SMTP.
