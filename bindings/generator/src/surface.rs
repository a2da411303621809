//! The exported surface as text: one line an item, sorted, so that a change of it is read as a diff.

use std::collections::{BTreeMap, BTreeSet};

use uniffi_meta::{
    ConstructorMetadata, DefaultValueMetadata, EnumMetadata, FieldMetadata, FnMetadata, FnParamMetadata,
    LiteralMetadata, Metadata, MethodMetadata, ObjectMetadata, RecordMetadata, TraitMethodMetadata, Type,
    UniffiTraitMetadata,
};

/// The list. Items by name, what belongs to them in its own order, each with the first sentence of its doc.
#[must_use]
pub fn list(items: &[Metadata]) -> String {
    let members = members(items);
    let mut all: Vec<String> = items.iter().filter_map(|item| entry(item, &members)).collect();
    all.sort();
    all.join("\n")
}

/// Lines of constructors and methods, by the name of their type.
type Members = BTreeMap<String, BTreeSet<(u32, String)>>;

fn members(items: &[Metadata]) -> Members {
    let mut members = Members::new();
    for item in items {
        let (of, place, line) = match item {
            Metadata::Constructor(made) => (&made.self_name, 0, constructor(made)),
            Metadata::Method(method) => (&method.self_name, 1, self::method(method)),
            Metadata::TraitMethod(method) => (&method.trait_name, 2 + method.index, trait_method(method)),
            Metadata::UniffiTrait(found) => match found {
                UniffiTraitMetadata::Debug { fmt } => (&fmt.self_name, u32::MAX, "derives Debug".to_owned()),
                UniffiTraitMetadata::Display { fmt } => (&fmt.self_name, u32::MAX, "derives Display".to_owned()),
                UniffiTraitMetadata::Eq { eq, .. } => (&eq.self_name, u32::MAX, "derives Eq".to_owned()),
                UniffiTraitMetadata::Hash { hash } => (&hash.self_name, u32::MAX, "derives Hash".to_owned()),
                UniffiTraitMetadata::Ord { cmp } => (&cmp.self_name, u32::MAX, "derives Ord".to_owned()),
            },
            _ => continue,
        };
        members.entry(of.clone()).or_default().insert((place, format!("  {line}\n")));
    }
    members
}

fn entry(item: &Metadata, members: &Members) -> Option<String> {
    let (name, own) = match item {
        Metadata::Func(function) => (&function.name, self::function(function)),
        Metadata::Object(object) => (&object.name, self::object(object)),
        Metadata::Record(record) => (&record.name, self::record(record)),
        Metadata::Enum(found) => (&found.name, enumeration(found)),
        _ => return None,
    };
    let members = members.get(name).into_iter().flatten().map(|(_, line)| line.as_str());
    Some(own + &members.collect::<String>())
}

fn function(function: &FnMetadata) -> String {
    let signature =
        signature(&function.inputs, function.is_async, function.return_type.as_ref(), function.throws.as_ref());
    line(&format!("function {}{signature}", function.name), function.docstring.as_deref())
}

fn object(object: &ObjectMetadata) -> String {
    let kind = if object.imp.has_callback_interface() { "interface of the app" } else { "object" };
    line(&format!("{kind} {}", object.name), object.docstring.as_deref())
}

fn record(record: &RecordMetadata) -> String {
    let mut text = line(&format!("record {}", record.name), record.docstring.as_deref());
    text.extend(record.fields.iter().map(|one| field(one, "  ")));
    text
}

fn enumeration(found: &EnumMetadata) -> String {
    let kind = if found.shape.is_error() { "error" } else { "enum" };
    let mut text = line(&format!("{kind} {}", found.name), found.docstring.as_deref());
    for variant in &found.variants {
        text += &line(&format!("  {}", variant.name), variant.docstring.as_deref());
        text.extend(variant.fields.iter().map(|one| field(one, "    ")));
    }
    text
}

fn field(field: &FieldMetadata, indent: &str) -> String {
    let default = field.default.as_ref().map(default_of).unwrap_or_default();
    let declared = format!("{indent}{}: {}{default}", field.name, type_name(&field.ty));
    line(&declared, field.docstring.as_deref())
}

fn constructor(made: &ConstructorMetadata) -> String {
    let signature = signature(&made.inputs, made.is_async, None, made.throws.as_ref());
    line(&format!("constructor {}{signature}", made.name), made.docstring.as_deref()).trim_end().to_owned()
}

fn method(method: &MethodMetadata) -> String {
    let signature = signature(&method.inputs, method.is_async, method.return_type.as_ref(), method.throws.as_ref());
    line(&format!("method {}{signature}", method.name), method.docstring.as_deref()).trim_end().to_owned()
}

fn trait_method(method: &TraitMethodMetadata) -> String {
    let signature = signature(&method.inputs, method.is_async, method.return_type.as_ref(), method.throws.as_ref());
    line(&format!("method {}{signature}", method.name), method.docstring.as_deref()).trim_end().to_owned()
}

fn signature(inputs: &[FnParamMetadata], is_async: bool, returns: Option<&Type>, throws: Option<&Type>) -> String {
    let inputs: Vec<String> = inputs
        .iter()
        .map(|input| {
            let default = input.default.as_ref().map(default_of).unwrap_or_default();
            format!("{}: {}{default}", input.name, type_name(&input.ty))
        })
        .collect();
    let mut text = format!("({})", inputs.join(", "));
    if is_async {
        text += " async";
    }
    text += &returns.map(|kind| format!(" -> {}", type_name(kind))).unwrap_or_default();
    text += &throws.map(|kind| format!(" throws {}", type_name(kind))).unwrap_or_default();
    text
}

fn line(declared: &str, doc: Option<&str>) -> String {
    match doc.map(first_sentence).filter(|sentence| !sentence.is_empty()) {
        Some(sentence) => format!("{declared}  // {sentence}\n"),
        None => format!("{declared}\n"),
    }
}

/// Of the first paragraph, up to the first full stop that ends a sentence.
fn first_sentence(doc: &str) -> String {
    let paragraph: Vec<&str> = doc.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    let paragraph = paragraph.join(" ");
    match paragraph.split_once(". ") {
        Some((sentence, _)) => format!("{sentence}."),
        None => paragraph,
    }
}

fn default_of(default: &DefaultValueMetadata) -> String {
    let value = match default {
        DefaultValueMetadata::Default | DefaultValueMetadata::Literal(LiteralMetadata::None) => "absent".to_owned(),
        DefaultValueMetadata::Literal(literal) => match literal {
            LiteralMetadata::Boolean(value) => value.to_string(),
            LiteralMetadata::String(value) => format!("{value:?}"),
            LiteralMetadata::UInt(value, ..) => value.to_string(),
            LiteralMetadata::Int(value, ..) => value.to_string(),
            LiteralMetadata::Float(value, _) | LiteralMetadata::Enum(value, _) => value.clone(),
            LiteralMetadata::EmptySequence | LiteralMetadata::EmptySet => "[]".to_owned(),
            LiteralMetadata::EmptyMap => "{}".to_owned(),
            LiteralMetadata::None => "absent".to_owned(),
            LiteralMetadata::Some { inner } => default_of(inner),
        },
    };
    format!(" = {value}")
}

/// As the list spells a type.
pub(crate) fn type_name(kind: &Type) -> String {
    match kind {
        Type::UInt8 => "u8".to_owned(),
        Type::Int8 => "i8".to_owned(),
        Type::UInt16 => "u16".to_owned(),
        Type::Int16 => "i16".to_owned(),
        Type::UInt32 => "u32".to_owned(),
        Type::Int32 => "i32".to_owned(),
        Type::UInt64 => "u64".to_owned(),
        Type::Int64 => "i64".to_owned(),
        Type::Float32 => "f32".to_owned(),
        Type::Float64 => "f64".to_owned(),
        Type::Boolean => "bool".to_owned(),
        Type::String => "string".to_owned(),
        Type::Bytes => "bytes".to_owned(),
        Type::Timestamp => "timestamp".to_owned(),
        Type::Duration => "duration".to_owned(),
        Type::Object { name, .. }
        | Type::Record { name, .. }
        | Type::Enum { name, .. }
        | Type::CallbackInterface { name, .. }
        | Type::Custom { name, .. } => name.clone(),
        Type::Box { inner_type } => type_name(inner_type),
        Type::Optional { inner_type } => format!("{}?", type_name(inner_type)),
        Type::Sequence { inner_type } => format!("[{}]", type_name(inner_type)),
        Type::Set { inner_type } => format!("set of {}", type_name(inner_type)),
        Type::Map { key_type, value_type } => format!("map of {} to {}", type_name(key_type), type_name(value_type)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_one_line_with_its_first_sentence() {
        let function = FnMetadata {
            module_path: "m".to_owned(),
            name: "do_it".to_owned(),
            orig_name: None,
            is_async: true,
            inputs: vec![FnParamMetadata {
                name: "how".to_owned(),
                ty: Type::Optional { inner_type: Box::new(Type::Bytes) },
                by_ref: false,
                optional: false,
                default: Some(DefaultValueMetadata::Literal(LiteralMetadata::None)),
            }],
            return_type: Some(Type::Sequence { inner_type: Box::new(Type::UInt32) }),
            throws: Some(Type::Enum { module_path: "m".to_owned(), name: "BadError".to_owned() }),
            checksum: None,
            docstring: Some("Does it,\nat once. And well.\n\nMore.".to_owned()),
        };
        let text = list(&[Metadata::Func(function)]);
        assert_eq!(text, "function do_it(how: bytes? = absent) async -> [u32] throws BadError  // Does it, at once.\n");
    }
}
