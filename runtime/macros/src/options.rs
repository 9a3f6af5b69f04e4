//! The arguments of the attributes: read, checked against each other, and turned into builder calls.

use std::fmt::Display;
use std::str::FromStr;

use proc_macro2::{Ident, Span, TokenStream};
use quote::quote;
use syn::parse::{Parse, ParseStream, Parser as _};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned as _;
use syn::{Error, Expr, Lit, LitStr, Result, Token};

use crate::errors::Errors;
use crate::expand::Kind;

/// What was asked for; what was not is left to the builder's defaults.
#[derive(Default)]
pub(crate) struct Options {
    idle: Option<Ident>,
    nets: Vec<LitStr>,
    cores: Option<usize>,
    seed: Option<u64>,
}

impl Options {
    /// Reads `idle = "busy", net = "kernel:"`, and tells everything that is wrong with it at once.
    pub(crate) fn parse(kind: Kind, arguments: TokenStream) -> Result<Self> {
        let arguments = Punctuated::<Argument, Token![,]>::parse_terminated.parse2(arguments)?;
        let mut options = Self::default();
        let mut errors = Errors::default();
        for (index, argument) in arguments.iter().enumerate() {
            if argument.name != "net" && arguments.iter().take(index).any(|other| other.name == argument.name)
            {
                errors.say(argument.name.span(), format!("`{}` is given twice", argument.name));
            } else if let Err(error) = options.take(kind, argument) {
                errors.push(error);
            }
        }
        if let Some(argument) = arguments.iter().find(|argument| argument.name == "idle")
            && options.seed.is_some()
        {
            let text = "a simulated runtime is never idle: it moves its clock instead; leave `idle` out";
            errors.say(argument.name.span(), text);
        }
        errors.or(options)
    }

    /// True when the function is to run once on each of several cores.
    pub(crate) fn on_each_core(&self) -> bool {
        self.cores.is_some()
    }

    /// `::hemi::Runtime::builder()` with a call for each option.
    pub(crate) fn builder(&self) -> TokenStream {
        let idle = self.idle.iter().map(|policy| quote!(.idle(::hemi::Idle::#policy)));
        let nets = self.nets.iter().map(|uri| quote!(.net(#uri)));
        let cores = self.cores.iter().map(|cores| quote!(.cores(#cores)));
        let seed = self.seed.iter().map(|seed| quote!(.simulated(::hemi::__macro_support::seed(#seed))));
        quote!(::hemi::Runtime::builder() #(#idle)* #(#nets)* #(#cores)* #(#seed)*)
    }

    fn take(&mut self, kind: Kind, argument: &Argument) -> Result<()> {
        match (argument.name.to_string().as_str(), kind) {
            ("idle", _) => self.idle = Some(argument.idle()?),
            ("net", _) => self.nets.push(argument.net()?),
            ("cores", _) => self.cores = Some(argument.cores()?),
            ("seed", Kind::Test) => self.seed = Some(argument.number("a seed from 0 to 2^64 - 1")?),
            ("sim", Kind::Test) => {
                argument.no_value()?;
                self.seed.get_or_insert(0);
            }
            ("seed" | "sim", Kind::Main) => {
                let text = "a program runs in real time: `sim` and `seed` are for #[hemi::test]";
                return Err(Error::new(argument.name.span(), text));
            }
            (name, _) => {
                let known = match kind {
                    Kind::Main => "`idle`, `net` and `cores`",
                    Kind::Test => "`idle`, `net`, `cores`, `sim` and `seed`",
                };
                let text = format!("unknown argument `{name}`: there are {known}");
                return Err(Error::new(argument.name.span(), text));
            }
        }
        Ok(())
    }
}

/// `name` or `name = value`.
struct Argument {
    name: Ident,
    value: Option<Expr>,
}

impl Parse for Argument {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let name = input.parse()?;
        let value = if input.parse::<Option<Token![=]>>()?.is_some() { Some(input.parse()?) } else { None };
        Ok(Self { name, value })
    }
}

impl Argument {
    fn idle(&self) -> Result<Ident> {
        let policy = self.string("\"busy\", \"adaptive\" or \"park\"")?;
        let variant = match policy.value().as_str() {
            "busy" => "Busy",
            "adaptive" => "Adaptive",
            "park" => "Park",
            other => {
                let text =
                    format!("no idle policy \"{other}\": there are \"busy\", \"adaptive\" and \"park\"");
                return Err(Error::new(policy.span(), text));
            }
        };
        Ok(Ident::new(variant, Span::call_site()))
    }

    /// Which schemes there are is the runtime's to say; here only what can never be one is refused.
    fn net(&self) -> Result<LitStr> {
        let uri = self.string("a transport URI, as in \"kernel:\"")?;
        if uri.value().contains(':') {
            return Ok(uri);
        }
        let text =
            format!("\"{}\" is no transport URI: that begins with a scheme, as in \"kernel:\"", uri.value());
        Err(Error::new(uri.span(), text))
    }

    fn cores(&self) -> Result<usize> {
        match self.number("a number of cores")? {
            0 => Err(Error::new(self.value.span(), "a runtime needs at least one core")),
            cores => Ok(cores),
        }
    }

    fn string(&self, wanted: &str) -> Result<LitStr> {
        match self.literal() {
            Some(Lit::Str(text)) => Ok(text.clone()),
            _ => Err(self.wants(wanted)),
        }
    }

    fn number<N: FromStr<Err: Display>>(&self, wanted: &str) -> Result<N> {
        match self.literal() {
            Some(Lit::Int(number)) => number.base10_parse().map_err(|_| self.wants(wanted)),
            _ => Err(self.wants(wanted)),
        }
    }

    fn no_value(&self) -> Result<()> {
        match &self.value {
            None => Ok(()),
            Some(value) => Err(Error::new(value.span(), format!("`{}` takes no value", self.name))),
        }
    }

    /// The value, when it is a literal: nothing else is known while the attribute is expanded.
    fn literal(&self) -> Option<&Lit> {
        match &self.value {
            Some(Expr::Lit(literal)) => Some(&literal.lit),
            _ => None,
        }
    }

    fn wants(&self, wanted: &str) -> Error {
        let at = self.value.as_ref().map_or_else(|| self.name.span(), Expr::span);
        Error::new(at, format!("`{}` wants {wanted}", self.name))
    }
}
