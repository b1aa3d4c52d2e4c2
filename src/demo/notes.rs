//! What patients write next to a reading, now and then.

use super::dice::Dice;
use crate::domain::glucose::ReadingType;

const LOW: [&str; 6] = [
    "Tomé un jugo de naranja",
    "Me temblaban las manos, comí tres caramelos",
    "Hipo leve, 15 g de azúcar y controlé a los 15 minutos",
    "Mareado, me senté a descansar",
    "Transpiración fría",
    "Almorcé poco",
];
const HIGH: [&str; 6] = [
    "Me olvidé de la corrección",
    "Conté mal los hidratos",
    "Cumpleaños de mi sobrino, comí torta",
    "Cambié el sitio de aplicación",
    "Estoy resfriada",
    "Mucha sed desde temprano",
];
const MEAL: [&str; 8] = [
    "Dos tostadas con queso y mate",
    "Milanesa con ensalada",
    "Empanadas, conté 45 g",
    "Fideos con salsa",
    "Mate con una factura",
    "Asado del domingo",
    "Comí afuera, calculé a ojo",
    "Yogur con avena",
];
const EXERCISE: [&str; 5] = [
    "Caminé 40 minutos",
    "Antes de fútbol",
    "Después de la bici",
    "Clase de natación",
    "Corrí 5 km, bajé la basal",
];
const OTHER: [&str; 5] = [
    "Antes de dormir",
    "Dos horas después de comer",
    "Noche de guardia",
    "Me desperté a controlar",
    "Comparé con el sensor",
];

/// A note, or none: more often when the value is worth one.
pub(super) fn note(dice: &mut Dice, reading_type: ReadingType, mg_dl: f64) -> Option<String> {
    let (percent, text) = if mg_dl < 70.0 {
        (55, dice.pick(&LOW))
    } else if mg_dl > 250.0 {
        (45, dice.pick(&HIGH))
    } else {
        match reading_type {
            ReadingType::Ejercicio => (40, dice.pick(&EXERCISE)),
            ReadingType::Otro => (15, dice.pick(&OTHER)),
            _ => (12, dice.pick(&MEAL)),
        }
    };
    dice.chance(percent).then(|| text.to_owned())
}
