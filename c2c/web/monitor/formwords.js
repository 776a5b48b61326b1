/**
 * The words of the forms, loaded with the first of them.
 * @module
 */

import en from '../i18n/forms.en.js';
import ko from '../i18n/forms.ko.js';
import { addWords } from '../i18n/index.js';

addWords({ en, ko });
