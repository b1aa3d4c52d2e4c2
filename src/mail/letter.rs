//! What the mails say: plain text in Spanish, and nothing clinical.

use lettre::Message;
use lettre::message::MessageBuilder;
use lettre::message::header::ContentType;

use crate::auth::token::Audience;
use crate::config::Config;
use crate::service::mail::{Mail, MailContent};

/// What all letters of a node have in common.
pub(super) struct Letters {
    clinic: String,
    patient_url: String,
    staff_url: String,
    patient_minutes: u32,
    staff_minutes: u32,
}

impl Letters {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            clinic: config.clinic.clone(),
            patient_url: config.mail.patient_url.trim_end_matches('/').to_owned(),
            staff_url: config.mail.staff_url.clone(),
            patient_minutes: config.tokens.patient_recovery_minutes,
            staff_minutes: config.tokens.staff_recovery_minutes,
        }
    }

    /// `None` when the mail cannot be put into a message.
    pub(super) fn write(&self, builder: MessageBuilder, mail: &Mail) -> Option<Message> {
        let (subject, text) = match &mail.content {
            MailContent::Recovery(Audience::Patient, token) => {
                let link = format!(
                    "{}/reset-password?token={}",
                    self.patient_url,
                    token.expose()
                );
                self.recovery(&link, self.patient_minutes)
            }
            MailContent::Recovery(Audience::Staff, token) => {
                let link = format!("{}?token={}", self.staff_url, token.expose());
                self.recovery(&link, self.staff_minutes)
            }
            MailContent::ResolutionReady => self.resolution(),
        };
        let builder = builder.subject(subject).header(ContentType::TEXT_PLAIN);
        builder.body(text).ok()
    }

    fn recovery(&self, link: &str, minutes: u32) -> (String, String) {
        let clinic = &self.clinic;
        let text = format!(
            "Hola:\n\n\
             Alguien pidió cambiar la contraseña de su cuenta en {clinic}. Si fue usted, abra \
             este enlace y elija una nueva:\n\n\
             {link}\n\n\
             El enlace sirve una sola vez, durante {minutes} minutos.\n\
             Si no lo pidió, ignore este mensaje: su contraseña no cambia.\n\n\
             {clinic}\n"
        );
        (format!("Recuperar la contraseña: {clinic}"), text)
    }

    fn resolution(&self) -> (String, String) {
        let clinic = &self.clinic;
        let text = format!(
            "Hola:\n\n\
             Hay novedades sobre su turno. Puede verlas en la aplicación.\n\n\
             {clinic}\n"
        );
        (format!("Novedades sobre su turno: {clinic}"), text)
    }
}
